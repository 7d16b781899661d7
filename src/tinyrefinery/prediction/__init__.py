"""From a network and pictures to class probabilities: `tinyrefinery predict` and auto-labels."""
