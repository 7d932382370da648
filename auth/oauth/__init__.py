"""Login by other providers: OpenID Connect and GitHub's OAuth, from the client's side.

`settings` says which providers there are; `flow`, `id_tokens` and `claims` are the rules, pure; `openid` and
`github` ask a provider who somebody is, through the `Web` that is handed in; `flows` keeps a visit to a provider
bound to the browser it began in.
"""
