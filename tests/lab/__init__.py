"""The laboratory: lying resolvers, broken servers and a censor on loopback, for tests that use real sockets."""

from tests.lab.authority import Certificate
from tests.lab.interference import Cut
from tests.lab.laboratory import Lab, Line, Site
from tests.lab.resolvers import Answer, Manner, Resolver, Transport

__all__ = ["Answer", "Certificate", "Cut", "Lab", "Line", "Manner", "Resolver", "Site", "Transport"]
