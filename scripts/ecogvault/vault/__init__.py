"""What is known of a Glacier vault: its inventories, which take hours to come, and what they say of our archives.

`statements` are the seal statements inside archives' descriptions, `catalogue` is an inventory that came, `inventory`
how one is asked for and fetched over days, and `compare` what it says about the ledgers.
"""
