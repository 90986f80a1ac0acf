"""The models. Tensors are batch first, and one letter means one size everywhere:

B  sentences                       K  hypotheses of a sentence
T  frames (10 ms)                  S  speech states (40 ms)          N  states after compression
U  text positions                  W  transcript tokens              V  vocabulary
C  channels (model dimension)      H  heads                          D  C / H, channels of a head

Masks named `padding` are True at padding; masks given to attention are True where it may look.
"""
