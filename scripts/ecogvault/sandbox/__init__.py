"""The local servers and the made-up hospital export that the demo, the tests and the benchmarks run on.

Everything listens on 127.0.0.1 only. Source: DESIGN, section 7.
"""
