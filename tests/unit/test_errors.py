"""What errors say: the innermost speaks, in one line."""

from __future__ import annotations

import pytest

from denodo_ha.errors import causes, readable
from denodo_ha.snapshot.trouble import storage_trouble


class TestErrors:
    def test_the_innermost_error_of_the_system_speaks(self) -> None:
        error = ValueError("it failed")
        error.__cause__ = ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)")
        assert readable(error) == "Connection refused"
        assert [type(each) for each in causes(error)] == [ValueError, ConnectionRefusedError]

    def test_what_a_library_only_wraps_is_found_too(self) -> None:
        inner = OSError(2, "No such file")
        assert list(causes(RuntimeError("x", inner)))[-1] is inner

    @pytest.mark.parametrize(("error", "said"), [(ValueError("one\n two."), "one two"), (EOFError(), "EOFError")])
    def test_others_say_what_they_say_in_one_line(self, error: Exception, said: str) -> None:
        assert readable(error) == said


class TestStorage:
    def test_a_missing_bucket_is_no_missing_file(self) -> None:
        assert storage_trouble("s3://b", FileNotFoundError("the key")) is None
        reason = storage_trouble("s3://b", FileNotFoundError("The specified bucket does not exist"))
        assert reason is not None
        assert reason.what == "the storage s3://b cannot be used: the bucket does not exist"

    def test_a_cause_speaks_for_an_error_that_says_nothing(self) -> None:
        error = OSError("it failed")
        error.__cause__ = PermissionError("no")
        reason = storage_trouble("s3://b", error)
        assert reason is not None
        assert reason.what.endswith("access is denied")
        unknown = storage_trouble("s3://b", KeyError("x"))
        assert unknown is not None
        assert unknown.what.endswith("it failed (KeyError)")
