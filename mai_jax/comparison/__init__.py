"""The paper's methods trained on one budget, and its Tables 4 and 5 and a comparison figure made of them."""
