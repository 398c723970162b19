"""The experiment's durable record: its configuration and its turns, and tables that a person can query. One writer, any number
of readers. The journal stores turns without understanding them.
"""

from shadho_like.journal.reader import JournalReader, copy_journal
from shadho_like.journal.schema import CHECKPOINT_ROOT, EXPERIMENT_ID, FORMAT, UNANSWERED, Record, dump_operations
from shadho_like.journal.status import Standing, StatusFile, Told
from shadho_like.journal.writer import Journal, MethodRow

__all__ = [
    "CHECKPOINT_ROOT",
    "EXPERIMENT_ID",
    "FORMAT",
    "UNANSWERED",
    "Journal",
    "JournalReader",
    "MethodRow",
    "Record",
    "Standing",
    "StatusFile",
    "Told",
    "copy_journal",
    "dump_operations",
]
