"""What is wrong with a data set, and what a network could learn from it by mistake."""
