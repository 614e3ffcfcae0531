package httpapi

import (
	"net/http"
	"unicode/utf8"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
)

// signingKeyView is the JSON form of a signing key. It holds the public key only.
type signingKeyView struct {
	ID        string      `json:"id"`
	PublicKey string      `json:"publicKey"`
	CreatedAt esh3ar.Time `json:"createdAt,omitzero"`
	SignsFrom esh3ar.Time `json:"signsFrom,omitzero"`
	EndsAt    esh3ar.Time `json:"endsAt,omitzero"`
	Signs     bool        `json:"signs"`
}

func (a *API) answerSigningKeys(x *exchange, status int) error {
	keys := a.Credentials.SigningKeys()
	items := make([]signingKeyView, len(keys))
	for i, k := range keys {
		items[i] = signingKeyView{k.ID, k.Public, k.CreatedAt, k.SignsFrom, k.EndsAt, k.Signs}
	}
	return x.answerJSON(status, struct {
		Items []signingKeyView `json:"items"`
	}{items})
}

// requireCredentials returns a handler that calls h for requests with the admin token on a node that can change
// credentials.
func (a *API) requireCredentials(h handler) handler {
	return a.requireAdmin(func(x *exchange) error {
		if a.Credentials == nil {
			return notFound.problem("this node cannot change credentials")
		}
		err := h(x)
		if err != nil && esh3ar.CodeOf(err) == esh3ar.InUse {
			return credentialInUse.problem(err.Error())
		}
		return err
	})
}

// listSigningKeys implements GET /admin/v1/signing-keys.
func (a *API) listSigningKeys(x *exchange) error { return a.answerSigningKeys(x, http.StatusOK) }

// rotateSigningKeys implements POST /admin/v1/signing-keys.
func (a *API) rotateSigningKeys(x *exchange) error {
	var endOthers bool
	err := x.readObject(member{name: "endOthers", read: func(in *input, at jsonPath) (err error) {
		endOthers, _, err = in.boolean(at)
		return err
	}})
	if err != nil {
		return err
	}
	if err := a.Credentials.Rotate(x.r.Context(), endOthers); err != nil {
		return err
	}
	return a.answerSigningKeys(x, http.StatusCreated)
}

// endSigningKey implements DELETE /admin/v1/signing-keys/{id}.
func (a *API) endSigningKey(x *exchange) error {
	if err := a.Credentials.End(x.r.Context(), x.params[0]); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return notFound.problem("no signing key " + x.params[0])
		}
		return err
	}
	x.send(http.StatusNoContent, nil)
	return nil
}

// revokePhone implements POST /admin/v1/phones/{number}/revoke.
func (a *API) revokePhone(x *exchange) error {
	if err := x.readObject(); err != nil {
		return err
	}
	return a.revokeTokens(x, "")
}

// revokeDevice implements DELETE /admin/v1/phones/{number}/devices/{did}.
func (a *API) revokeDevice(x *exchange) error {
	device := x.params[1]
	if !utf8.ValidString(device) || utf8.RuneCountInString(device) > auth.MaxDeviceID {
		return notFound.problem("no device can have this id")
	}
	return a.revokeTokens(x, device)
}

func (a *API) revokeTokens(x *exchange, device string) error {
	phone, err := a.Phones.Parse(x.params[0])
	if err != nil {
		return notFound.problem("the path must hold a possible phone number such as +967771234567")
	}
	if err := a.Credentials.Revoke(x.r.Context(), phone, device); err != nil {
		return err
	}
	x.send(http.StatusNoContent, nil)
	return nil
}

// rotateAdminToken implements POST /admin/v1/admin-token.
func (a *API) rotateAdminToken(x *exchange) error {
	if err := x.readObject(); err != nil {
		return err
	}
	token, err := a.Credentials.RotateAdmin(x.r.Context())
	if err != nil {
		return err
	}
	x.w.Header()["Cache-Control"] = noStore
	return x.answerJSON(http.StatusCreated, struct {
		AdminToken string `json:"adminToken"`
	}{token})
}
