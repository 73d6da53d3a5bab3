"""What the claims are asked of: the protocol, the registry, the contract check, recorded subjects."""

from diffclaims.api.subject import MEASURES, Subject, Tags
from diffclaims.storage.recordings import record
from diffclaims.subjects.contract import check_subject
from diffclaims.subjects.memo import Memo
from diffclaims.subjects.recorded import Recorded

__all__ = ["MEASURES", "Memo", "Recorded", "Subject", "Tags", "check_subject", "record"]
