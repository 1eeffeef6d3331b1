"""The endpoint beside the program that anyone would write, and beside a build before: `python -m benchmarks.endpoint`.

world   48 windowed features of 1,000 cards in a store, and a model of 100 trees that takes them
plain   the peer: FastAPI, pydantic, redis.asyncio and onnxruntime on 48 stored numbers
servers starts forebay, forebay before and the peer, on the same store
load    an open loop from due times, and a closed loop
run     every case by turns
report  the tables
"""
