"""What a person must know before tests leave their line, and the record that they were told."""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

RISKS_VERSION: Final = 1  # raised with every change of meaning: acceptance is then asked for again
_ENGLISH: Final = """\
BEFORE YOU START
This program contacts websites that may be blocked where you are, again and again, from your own connection.
Your internet provider, and whoever watches the network, can see these tests and link them to you. It does not
hide you. In some countries such tests, or publishing what they show, may be unlawful or draw attention.
Run it only on a line that is yours or whose owner agrees. If in doubt, first ask a lawyer or a digital-rights group.
"""
_URDU: Final = """\
شروع کرنے سے پہلے
یہ پروگرام آپ کے اپنے کنکشن سے بار بار ایسی ویب سائٹس سے رابطہ کرتا ہے جو آپ کے ہاں بند ہو سکتی ہیں۔
آپ کا انٹرنیٹ فراہم کنندہ اور نیٹ ورک کی نگرانی کرنے والے یہ ٹیسٹ دیکھ سکتے ہیں اور انہیں آپ سے جوڑ سکتے ہیں۔
یہ پروگرام آپ کی شناخت نہیں چھپاتا۔ بعض ملکوں میں ایسے ٹیسٹ کرنا یا ان کے نتائج شائع کرنا خلافِ قانون ہو سکتا ہے۔
اسے صرف اپنے کنکشن پر یا مالک کی اجازت سے چلائیں۔ شک ہو تو پہلے کسی وکیل یا ڈیجیٹل حقوق کی تنظیم سے پوچھیں۔
"""  # noqa: RUF001 - Urdu ends a sentence with an Arabic full stop
RISK_TEXT: Final = f"{_ENGLISH}\n{_URDU}"
_AGENT_ENGLISH: Final = """\
AN AGENT FOR SOMEBODY ELSE
What is measured is decided by the operator of the centre that invited you, within what your agent.yaml allows.
Results go there: which sites answered, how, and the name of your network. Your address is cut out of all of it.
You can stop at any time: `monitor agent pause` for a while, `monitor agent uninstall` for good.
"""
_AGENT_URDU: Final = """\
کسی اور کے لیے پیمائش
کیا جانچا جائے، یہ اُس مرکز کا منتظم طے کرتا ہے جس نے آپ کو دعوت دی، آپ کی agent.yaml کی حدود میں رہتے ہوئے۔
نتائج وہیں جاتے ہیں: کون سی سائٹ نے جواب دیا، کیسے، اور آپ کے نیٹ ورک کا نام۔ آپ کا پتہ اُن سب سے نکال دیا جاتا ہے۔
آپ کسی بھی وقت روک سکتے ہیں: کچھ دیر کے لیے `monitor agent pause`، ہمیشہ کے لیے `monitor agent uninstall`۔
"""  # noqa: RUF001 - as above
AGENT_TEXT: Final = f"{RISK_TEXT}\n{_AGENT_ENGLISH}\n{_AGENT_URDU}"
_FILE: Final = "risks-accepted.json"


class Acceptance(NamedTuple):
    """That a version of the text was accepted, and when."""

    version: int
    at: datetime


def accept(data_folder: Path, now: datetime, how: str) -> None:
    """Record in the data folder that this version of the text was shown and how it was accepted; raises OSError.

    `how` is `terminal` (the person said yes), `option` (`--accept-risks`) or `no-terminal` (printed, nobody to ask).
    """
    data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    record = {"version": RISKS_VERSION, "at": now.isoformat(timespec="seconds"), "how": how}
    fresh = data_folder / f"{_FILE}.new"
    fresh.write_text(json.dumps(record) + "\n")
    os.replace(fresh, data_folder / _FILE)  # noqa: PTH105 - whole or not at all, also where a crash comes between


def acceptance(data_folder: Path) -> Acceptance | None:
    """Return which version of the text was accepted and when; a record that cannot be read does not count."""
    try:
        record = json.loads((data_folder / _FILE).read_text())
        return Acceptance(int(record["version"]), datetime.fromisoformat(record["at"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def accepted(data_folder: Path) -> bool:
    """Tell whether the present version of the text was accepted."""
    found = acceptance(data_folder)
    return found is not None and found.version == RISKS_VERSION


def forget(data_folder: Path) -> None:
    """Take back what was accepted; raises OSError."""
    (data_folder / _FILE).unlink(missing_ok=True)
