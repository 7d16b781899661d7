"""Variance of feature maps (Bias Loss, Table 5) and the weights of Bias Loss."""
