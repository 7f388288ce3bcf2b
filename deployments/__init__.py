if __name__ != "spotwave.deployments":
    raise ImportError(f"{__name__} is spotwave.deployments: import it by that name")
