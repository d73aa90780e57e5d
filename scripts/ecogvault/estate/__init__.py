"""The old estate: copies that the lab made before this program, with `openssl enc` and by hand, under existing codes.

They are adopted from listings as what they are, come back by `snakemake restore`, and can be modernised: opened, and
archived anew. Their content is not known beforehand, so that they never count for the lab's policy.
"""
