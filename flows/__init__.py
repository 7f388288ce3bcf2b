if __name__ != "spotwave.flows":
    raise ImportError(f"{__name__} is spotwave.flows: import it by that name")
