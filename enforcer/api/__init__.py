"""The API: menshen.proto and what `make proto` makes of it (menshen_pb2.py, menshen_pb2_grpc.py: never edited)."""
