"""Login with external providers: the client side of OpenID Connect and of GitHub's OAuth.

`authorization_request`, `id_tokens` and `claims` are pure rules; `openid` and `github` identify users at a
provider; `visits` binds a visit to the browser that started it; `login` logs in, `links` links a provider to an
account.
"""
