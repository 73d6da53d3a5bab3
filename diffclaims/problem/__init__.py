"""What is asked: a mixture of classes, a model, and the experiment that puts them together."""
