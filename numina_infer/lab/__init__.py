"""What is made of run logs: replay, evaluation, search, reports, training data. The core never imports it."""
