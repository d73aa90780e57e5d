"""The configuration: every message names its key and never shows a value or the file."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecogvault.config import Config, ConfigError, Destination, check, load, one_place, per_kind

S3 = {"type": "s3", "zone": "outside", "form": "files", "bucket": "b"}
NAS = {"type": "folder", "zone": "inside", "form": "files", "path": "nas"}
SERVER = {**S3, "endpoint_url": "http://s.invalid"}
AZURE = {"type": "azure", "zone": "outside", "form": "tarball", "container": "c", "account_url": "https://a.invalid"}
VAULT = {"type": "glacier", "zone": "outside", "form": "tarball", "vault": "v", "region": "us-west-2"}


def values(s3: dict[str, Any] | None = None, **settings: Any) -> dict[str, Any]:
    return {"destinations": {"nas": NAS, "s3": {**S3, **(s3 or {})}}, **settings}


def azure(settings: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": {"azure": {**AZURE, **settings}}}


def two(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": {"a": one, "b": other}}


def without(key: str) -> dict[str, Any]:
    return {"destinations": {"s3": {name: value for name, value in S3.items() if name != key}}}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "destinations is missing"),
        (None, "the configuration is empty"),
        ([], "the configuration is empty"),
        ({"destinations": {}}, "destinations must be"),
        ({"destinations": None}, "destinations must be of type object"),
        (values(reslts="x"), "reslts: there is no such key in the configuration; did you mean 'results'?"),
        (values(zzz="x"), "zzz: there is no such key in the configuration; known here: "),
        (values({"bukket": "x"}), "destinations.s3.bukket: there is no such key in the configuration; did you mean "),
        (values({"bucket": {"vidd": "x"}}), "destinations.s3.bucket.vidd: there is no such key"),
        (values({"bucket": 5}), "destinations.s3.bucket must be of type "),
        (values({"zone": "elsewhere"}), "destinations.s3.zone must be one of inside, outside"),
        (values({"form": "zip"}), "destinations.s3.form must be one of files, tarball"),
        (values({"type": "ftp"}), "destinations.s3.type must be one of s3, glacier, azure, folder"),
        (azure({"account_url": None}), "destinations.azure.account_url must be of type string"),
        (azure({"account_url": "https://a.invalid/?sig=x"}), "destinations.azure.account_url must be text like "),
        (azure({"container": {"vid": "v"}}), "destinations.azure.container names no container for kind edf"),
        (azure({"tier": "Frozen"}), "destinations.azure.tier must be one of Hot, Cool, Cold, Archive"),
        (azure({"bucket": "b"}), "destinations.azure.bucket: there is no such key"),
        (values({"layout": "../{code}/{file}"}), "destinations.s3.layout for kind edf: a key is a relative path"),
        (values({"layout": "/{code}/{file}"}), "destinations.s3.layout for kind edf: a key is a relative path"),
        (values({"layout": {"vid": "{code}/{nme}/{file}"}}), "destinations.s3.layout for kind vid: a template knows "),
        (values({"layout": "{code}"}), "destinations.s3.layout: two different files would have one key"),
        (values({"storage_class": "DEEP"}), "destinations.s3.storage_class must be one of STANDARD, "),
        (values({"kms_key_id": "k"}), "destinations.s3.kms_key_id needs sse: aws:kms"),
        (values({"sse": "aes"}), "destinations.s3.sse must be one of AES256, aws:kms"),
        (values({"object_lock": {"mode": "governance"}}), "destinations.s3.object_lock.days is missing"),
        (values({"bandwidth_mib": 0}), "destinations.s3.bandwidth_mib must be "),
        (values({"part_size_mib": 1}), "destinations.s3.part_size_mib must be at least 5"),
        (values({"exclude": {"vid": "*.doc"}}), "destinations.s3.exclude.vid must be of type array"),
        (without("zone"), "destinations.s3.zone is missing"),
        (without("type"), "destinations.s3.type is missing"),
        (without("bucket"), "destinations.s3.bucket is missing"),
        ({"destinations": {"S3 Store": S3}}, "destinations.S3 Store: a name here is text like "),
        (values(mode=750), "mode must be of type string (write it in quotes)"),
        (values(mode="rwx"), "mode must be text like "),
        (values(mode="070"), "mode must let the owner in"),
        (values(settle_minutes=-1), "settle_minutes must be at least 0"),
        (values(accept="maybe"), "accept must be one of manual, auto"),
        (values(link="symlink"), "link must be one of auto, reflink, hardlink, copy"),
        (values(timezone="Mars/Olympus"), "timezone must be a name such as"),
        (values(timezone="America"), "timezone must be a name such as"),
        (values(timezone="../../etc/passwd"), "timezone must be a name such as"),
        (values(timezone=""), "timezone must be a name such as"),
        (values(sealed={"path": "x", "kep": "always"}), "sealed.kep: there is no such key in the configuration; did"),
        (values({"encrypt": False}), "destinations.s3.encrypt.vid must be true"),
        (values({"encrypt": {"vid": False}}), "destinations.s3.encrypt.vid must be true"),
        (values({"bucket": {"vid": "b"}}), "destinations.s3.bucket names no bucket for kind edf"),
        (values(results="private/results"), "results and private must be folders apart"),
        (values(results="x", private="x/y/../y"), "results and private must be folders apart"),
        (values(restored="private"), "restored and private must be folders apart"),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(wrong: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(wrong)
    assert str(caught.value).startswith(message), str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)
def test_any_value_anywhere_is_refused_in_one_line_or_taken(value: Any) -> None:
    for wrong in (value, {"destinations": value}, values({"bucket": value}), values(sealed=value), values(group=value)):
        try:
            check(wrong)
        except ConfigError as error:
            message = str(error)
        else:
            continue
        assert message
        assert "secret" not in message


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAS, {**NAS, "path": "nas2"}),
        (NAS, {**NAS, "form": "tarball"}),
        (NAS, {**NAS, "layout": "nas"}),
        (NAS, {**NAS, "encrypt": True}),
        ({**NAS, "kinds": ["edf"]}, {**NAS, "kinds": ["vid"]}),
        (NAS, {**NAS, "kinds": []}),
        (S3, {**S3, "bucket": "c"}),
        (S3, SERVER),
        (AZURE, {**AZURE, "container": "d"}),
        (VAULT, {**VAULT, "vault": "w"}),
        (VAULT, {**VAULT, "region": "us-east-1"}),
        ({**VAULT, "kinds": ["vid"]}, {**VAULT, "kinds": ["edf"]}),
    ],
)
def test_two_destinations_that_share_no_copy_may_be_in_one_place(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one_place(check(two(one, other))) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAS, {**NAS, "path": "x/../nas/", "mode": "700"}),
        ({**S3, "kinds": ["vid"]}, {**S3, "kinds": ["edf", "vid"]}),
        (S3, {**S3, "bucket": {"edf": "e", "vid": "v", "sync": "b"}}),
        (SERVER, {**SERVER, "endpoint_url": "http://S.invalid/"}),
        (AZURE, {**AZURE, "account_url": "https://a.invalid/"}),
        (VAULT, {**VAULT, "layout": "{unit}/{g}"}),
    ],
)
def test_two_destinations_that_are_one_place_are_named(one: dict[str, Any], other: dict[str, Any]) -> None:
    (said,) = one_place(check(two(one, other)))
    assert said.startswith("destinations.a and destinations.b are one place for kind ")


def test_a_folder_and_a_link_to_it_are_one_place(tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    (tmp_path / "link").symlink_to("nas")
    places = [{**NAS, "path": str(tmp_path / name)} for name in ("nas", "link")]
    assert one_place(check(two(*places))) != []


def test_a_message_never_shows_a_value() -> None:
    for wrong in (values({"region": ["s3cr3t"]}), values({"connections": "s3cr3t"}), values(mode="s3cr3t")):
        with pytest.raises(ConfigError) as caught:
            check(wrong)
        assert "s3cr3t" not in str(caught.value)


def test_what_the_file_does_not_say_has_its_default() -> None:
    config = check(values(group=None, sealed={"keep": "always"}))
    assert (config.results, config.private, config.signing_key) == (
        Path("results"),
        Path("private"),
        Path("private/signing.key"),
    )
    assert (config.folder_mode, config.file_mode) == (0o750, 0o640)
    assert (config["accept"], config["settle_minutes"], str(config.zone)) == ("manual", 10, "America/Los_Angeles")
    assert check(values(private="p")).signing_key == Path("p/signing.key")
    assert check(values(signing_key="k")).signing_key == Path("k")


@pytest.mark.parametrize(
    ("mode", "file_mode"), [("750", 0o640), ("2770", 0o660), ("700", 0o600), ("0755", 0o644), ("2775", 0o664)]
)
def test_files_get_the_folders_mode_without_execution_and_setgid(mode: str, file_mode: int) -> None:
    config = check(values(mode=mode))
    assert (config.folder_mode, config.file_mode) == (int(mode, 8), file_mode)


def test_what_holds_for_edf_holds_for_bdf_unless_it_has_its_own() -> None:
    assert per_kind({"edf": 1}, "bdf") == 1
    assert per_kind({"edf": 1, "bdf": 2}, "bdf") == 2
    assert per_kind({"bdf": 2}, "edf") is None
    assert per_kind({"edf": 1}, "vid") is None
    assert per_kind(3, "vid") == 3


def test_a_destination_takes_encrypts_and_excludes_as_it_says() -> None:
    outside = Destination(
        "s3", {**S3, "kinds": ["edf", "vid"], "encrypt": {"edf": False}, "exclude": {"vid": ["*.doc"]}}
    )
    assert [kind for kind in ("edf", "bdf", "vid", "sync") if outside.takes(kind)] == ["edf", "bdf", "vid"]
    assert [kind for kind in ("edf", "bdf", "vid", "sync") if outside.encrypts(kind)] == ["vid", "sync"]
    assert [kind for kind in ("edf", "bdf", "vid", "sync") if outside.leaves_plain_outside(kind)] == ["edf", "bdf"]
    assert (outside.excludes("vid"), outside.excludes("edf")) == (("*.doc",), ())
    inside = Destination("nas", NAS)
    assert not inside.encrypts("vid")
    assert not inside.leaves_plain_outside("vid")
    assert Destination("t", {**S3, "form": "tarball", "encrypt": False}).encrypts("edf")


def test_a_file_that_is_not_there_or_no_yaml_is_named_without_its_content(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration at"):
        load(tmp_path / "none.yaml")
    path = tmp_path / "config.yaml"
    for data, place in ((b"a: [s3cr3t\nb: 1", ", line 2"), (b"\xff\xfes3cr3t", ""), (b"s3cr3t: a: b", ", line 1")):
        path.write_bytes(data)
        with pytest.raises(ConfigError) as caught:
            load(path)
        assert f"{path}{place} is not readable as YAML" in str(caught.value)
        assert "s3cr3t" not in str(caught.value)
    path.write_text("destinations: {nas: {type: folder, zone: inside, form: files, path: nas}}")
    assert load(path).destinations["nas"].settings["path"] == "nas"


def test_settings_of_a_running_job_need_no_check() -> None:
    assert Config({"destinations": None}).destinations == {}
