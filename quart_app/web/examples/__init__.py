"""The example routes, one file for each subject. Users copy them."""
