"""Published corpus layouts -> utterances: one module a layout, each a function `read(source)`."""
