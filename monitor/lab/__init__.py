"""The laboratory: lying resolvers, broken servers and a censor on loopback, for tests and the demonstration."""

from monitor.lab.authority import Certificate
from monitor.lab.interference import Cut
from monitor.lab.laboratory import Lab, Line, Site
from monitor.lab.resolvers import Answer, Manner, Resolver, Transport

__all__ = ["Answer", "Certificate", "Cut", "Lab", "Line", "Manner", "Resolver", "Site", "Transport"]
