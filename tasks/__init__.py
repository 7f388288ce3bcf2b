if __name__ != "spotwave.tasks":
    raise ImportError(f"{__name__} is spotwave.tasks: import it by that name")
