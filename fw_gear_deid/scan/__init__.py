"""What is stored already → what in it tells whose it is (``scan PATH``): nothing is changed, no value is quoted."""
