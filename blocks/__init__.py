if __name__ != "spotwave.blocks":
    raise ImportError(f"{__name__} is spotwave.blocks: import it by that name")
