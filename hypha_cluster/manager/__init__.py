"""The functions that the hub itself offers over RPC, one file a subject."""
