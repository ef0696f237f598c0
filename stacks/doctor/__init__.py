"""What is looked at before money is spent: each check looks, and says what it saw and what to do."""
