"""Explains a prediction: finds it, folds its rows again from the topics, scores it again, and says what made the score.

found      the scored event's prediction
refold     rows of its entities, from the records of their topics up to the prediction's fences
windows    which part of time each feature counts
effects    what the score would be without a feature, or without an event
explain    all of that, in one explanation
display    on a terminal
page       as one HTML page
"""
