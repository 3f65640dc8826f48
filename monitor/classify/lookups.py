"""What is wrong with the answers of the system resolver: lies, withheld names, and who was seen to tell them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from monitor.classify.evidence import ENCRYPTED, NO_SUCH_NAME, defects
from monitor.classify.fingerprints import shown, unvetoed
from monitor.classify.mechanisms import OUTCOMES, Mechanism, passed
from monitor.classify.path import dns_failure
from monitor.model.failure import Failure
from monitor.model.observation import DnsObservation, Purpose, Step, step_of
from monitor.model.verdict import Confidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from monitor.classify.facts import Facts
    from monitor.classify.path import Hop


def dns_mechanisms(facts: Facts) -> tuple[Mechanism, ...]:
    """Return what is wrong with the answers of the system resolver, at most one mechanism for each hop."""
    trigger = "name" if facts.answers_harmless else ""
    return tuple(
        Mechanism(Step.DNS, outcome, hop.index, trigger, on_path)
        for hop in facts.path.hops
        if hop.dns and not hop.place.is_literal
        for outcome, on_path in (_wrong_with(facts, hop),)
        if outcome
    )


def _wrong_with(facts: Facts, hop: Hop) -> tuple[str, bool]:
    """Return the outcome, empty if nothing is wrong, and whether it leaves the client nothing else."""
    listed = [address for address in hop.addresses if _is_block_page_address(facts, hop, address)]
    if listed:
        return "blockpage_address", len(listed) == len(hop.addresses)
    serves_one = facts.serves_block_page(hop) and hop.response and facts.is_suspect(hop, hop.response.address)
    if serves_one or _is_led_to_block_page_host(facts, hop):
        return "blockpage_address", True
    bogons = [address for address in hop.addresses if facts.is_bogon(address)]
    if bogons and _elsewhere_no_bogon(facts, hop):
        return "bogon", len(bogons) == len(hop.addresses)
    if impostor(facts, hop) is not None or _is_contradicted(facts, hop):
        return "wrong_address", True
    if not hop.addresses and _fails_here_only(facts, hop):
        return OUTCOMES[Step.DNS].get(dns_failure(hop.dns) or "", ""), True
    return "", False


def _is_block_page_address(facts: Facts, hop: Hop, address: str) -> bool:
    return _is_listed(facts, address) and address not in facts.view(hop).control | facts.view(hop).verified


def _is_led_to_block_page_host(facts: Facts, hop: Hop) -> bool:
    """Tell whether the answer makes the name an alias of a block page's host, and nowhere else does."""
    listed = {alias for alias in _aliases(hop) if _is_listed(facts, alias)}
    if not listed or not facts.view(hop).verified.isdisjoint(hop.addresses):
        return False
    return not listed <= {alias for one in facts.control_hops(hop) for alias in _aliases(one)}


def _is_listed(facts: Facts, answer: str) -> bool:
    listed = shown(facts.context.fingerprints, {"dns": answer.encode()})
    return any(row.confirms(facts.context.country) for row in unvetoed(listed))


def _aliases(hop: Hop) -> set[str]:
    """Return the names that the answers lead through, in small letters."""
    return {
        answer.value.removesuffix(".").lower() for one in hop.dns for answer in one.answers if answer.type == "CNAME"
    }


def _elsewhere_no_bogon(facts: Facts, hop: Hop) -> bool:
    """Tell whether the name leads to no bogon elsewhere: at the controls, without them by encrypted DNS."""
    theirs: list[tuple[Iterable[str], str | None]] = [
        (one.addresses, dns_failure(one.dns)) for one in facts.control_hops(hop)
    ] or [(one.addresses, one.failure) for one in facts.other_resolvers(hop) if one.transport in ENCRYPTED]
    said = [(list(addresses), failure) for addresses, failure in theirs]
    return any(addresses or failure in NO_SUCH_NAME for addresses, failure in said) and not any(
        facts.is_bogon(address) for addresses, _ in said for address in addresses
    )


def _is_contradicted(facts: Facts, hop: Hop) -> bool:
    """Tell whether the answer leads to a foreign place and somebody on the path was seen to answer.

    Foreign: neither address nor AS is known to the reference. Seen: two replies to one query contradict each
    other, or one operator answers differently over UDP and over encrypted DNS. A CDN node inside the provider
    fails the second test.
    """
    if not any(one.late_replies for one in hop.dns) and not facts.other_resolvers(hop):
        return False
    view, asn_of = facts.view(hop), facts.context.asn_of
    ours = facts.path.usable(hop.addresses)
    if not ours or not view.has_reference or view.reference.intersection(ours):
        return False
    foreign = {asn_of.get(address) for address in ours}
    if foreign & facts.networks(view.reference):
        return False
    if any(
        late.answers and not {answer.value for answer in late.answers if answer.type != "CNAME"} & set(one.addresses)
        # A forger answers for every resolver; only those of a deep run are listened to for long.
        for one in (*hop.dns, *(other for other in facts.other_resolvers(hop) if set(other.addresses) & set(ours)))
        for late in one.late_replies
    ):
        return True
    if not _leads_astray(facts, hop) and (
        None in foreign or not any(_forged_over_udp(facts, hop, one) for one in facts.other_resolvers(hop))
    ):
        return False
    return None not in foreign or _is_strange_to_everybody(facts, hop, ours)


def _is_strange_to_everybody(facts: Facts, hop: Hop, ours: tuple[str, ...]) -> bool:
    """Tell whether addresses of unknown AS are no node of the platform's, as far as anybody can know it.

    Without the AS a dead node of a delivery network looks the same, so all must agree: a control and encrypted DNS give
    others, nobody ever proved these, none lies near a known one, and trying again changed nothing.
    """
    view = facts.view(hop)
    if not view.control or not view.encrypted or not facts.is_persistent:
        return False
    known = view.control | view.encrypted | view.verified | facts.context.known_addresses
    return known.isdisjoint(ours) and {_near(one) for one in known}.isdisjoint({_near(one) for one in ours})


def _near(address: str) -> str:
    """Return the range that one operator is likely to hold as a whole: a /16, or a /32 of IPv6; total."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 16 if parsed.version == 4 else 32), strict=False))


def _leads_astray(facts: Facts, hop: Hop) -> bool:
    """Tell whether the path ended at foreign addresses while an address known elsewhere proves itfacts here."""
    view = facts.view(hop)
    is_end = not facts.end.complete and facts.end.hop.index == hop.index
    return is_end and facts.answers_harmless is True and not view.reference.isdisjoint(view.verified_here)


def _forged_over_udp(facts: Facts, hop: Hop, plain: DnsObservation) -> bool:
    if plain.transport != "udp" or not plain.addresses:
        return False
    view = facts.view(hop)
    known = facts.networks(view.reference)
    if any(one in view.reference or facts.context.asn_of.get(one) in known for one in plain.addresses):
        return False
    return any(
        twin.transport in ENCRYPTED
        and twin.query_type == plain.query_type
        and _server(twin.resolver) == _server(plain.resolver)
        and (twin.addresses or twin.failure in NO_SUCH_NAME)
        and not set(twin.addresses) & set(plain.addresses)
        for twin in facts.other_resolvers(hop)
    )


def _fails_here_only(facts: Facts, hop: Hop) -> bool:
    """Tell whether a failed lookup is the network's doing: not the resolver's own trouble, and well elsewhere."""
    if facts.answers_harmless is False:
        return False
    theirs = facts.control_hops(hop)
    if theirs:
        return all(facts.path.usable(one.addresses) for one in theirs)
    return dns_isolated(facts, hop)


def dns_isolated(facts: Facts, hop: Hop) -> bool:
    """Tell whether this vantage alone shows that its resolver keeps a living name from its users."""
    repeated = any(
        one.purpose is Purpose.RETRY and one.hop == hop.index and step_of(one) is facts.end.layer and not passed(one)
        for one in facts.evidence
    )
    view = facts.view(hop)
    return repeated and facts.answers_harmless is True and not view.encrypted.isdisjoint(view.verified_here)


def impostor(facts: Facts, hop: Hop) -> Confidence | None:
    """Return how surely a wrong address is shown by the certificate of the host there; None: it is not."""
    if facts.is_delivered or any(one.verified for one in hop.handshakes):
        return None
    # On the controls' own way: at the liar's address they would see its certificate just the same.
    seen_there = {one.chain[0] for theirs in facts.control_hops(hop) for one in theirs.handshakes if one.chain}
    foreign = [
        one
        for one in hop.handshakes
        if one.chain
        and one.chain[0] not in seen_there
        and not {Failure.SSL_UNKNOWN_AUTHORITY, Failure.SSL_INVALID_HOSTNAME}.isdisjoint(defects(one))
        and facts.is_suspect(hop, one.address)
    ]
    if not foreign or not facts.view(hop).verified:
        return None
    claims = any(one.leaf_covers_name and Failure.SSL_UNKNOWN_AUTHORITY in defects(one) for one in foreign)
    return Confidence.CONFIRMED if claims else Confidence.LIKELY


def _server(resolver: str) -> str:
    """Return the address part of a resolver's URL: what follows `@`, else its host."""
    pinned = resolver.rpartition("@")[2] if "@" in resolver else resolver.partition("://")[2].partition("/")[0]
    return pinned if pinned.count(":") > 1 and not pinned.startswith("[") else pinned.partition(":")[0].strip("[]")
