"""Access: who asks, and what they may ask for. Every door goes through the gate.

    credential --identify-->  Principal          | no credential, or a wrong one -> Unauthenticated
      --may it?-->            its scopes         | a scope is missing            -> Forbidden
      --limits-->             a `Visit`          | too much, too fast            -> TooManyRequests
      --the door answers-->   a line of the audit log

Credentials are API keys (`api_keys`), tokens of an OAuth2 issuer (`tokens`), or one shared token. `gate` puts
it together.
"""
