"""U-Nets on images of a data set: trained, measured per class, recorded.

Reading recorded runs (`results`) and the data, references and oracle need no torch; everything that
trains or evaluates a network imports it where it is used. Nothing is imported here for that reason.
"""
