def write(file): pass
