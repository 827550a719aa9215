"""Whole collections: sources of items → vectors → shards on a disk, resumable at any point."""
