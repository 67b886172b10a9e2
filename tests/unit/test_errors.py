"""What errors say: the innermost speaks, in one line."""

from __future__ import annotations

import errno
import os
import socket
import ssl

import pytest

from denodo_ha.errors import causes, is_silence, readable
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


EVIDENCE = ["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "EPIPE", "ECONNABORTED"]


class TestSilence:
    @pytest.mark.parametrize("name", sorted(errno.errorcode.values()))
    def test_of_all_errors_of_the_system_only_these_are_a_server_s_silence(self, name: str) -> None:
        """What this machine cannot do, such as to open one more socket, is none."""
        number = getattr(errno, name)
        inner = OSError(number, os.strerror(number))
        outer = ConnectionError("All connection attempts failed")
        outer.__cause__ = inner
        wanted = number in {getattr(errno, each) for each in (*EVIDENCE, "EHOSTDOWN", "ENETRESET")}
        assert is_silence(inner) is is_silence(outer) is wanted

    @pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_AGAIN, socket.EAI_FAIL])
    def test_a_name_that_does_not_resolve_is_none(self, code: int) -> None:
        error = ConnectionError("it failed")
        error.__cause__ = socket.gaierror(code, "Name or service not known")
        assert not is_silence(error)

    def test_each_address_of_a_name_must_be_silent(self) -> None:
        refused, own = ConnectionRefusedError(errno.ECONNREFUSED, "no"), OSError(errno.EMFILE, "Too many open files")
        no_way = OSError(errno.EADDRNOTAVAIL, "a machine without IPv6"), OSError(errno.EAFNOSUPPORT, "likewise")
        cases = ([refused, refused], True), ([refused, own], False), ([*no_way, refused], True), ([*no_way], False)
        for members, wanted in cases:
            error = OSError("All connection attempts failed")
            error.__cause__ = ExceptionGroup("multiple connection attempts failed", members)
            assert is_silence(error) is wanted

    def test_a_cut_is(self) -> None:
        assert is_silence(EOFError())
        assert is_silence(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))


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
