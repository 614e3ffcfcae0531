package httpapi

import (
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// maxName is the maximum length of a business's name, in code points.
const maxName = 128

// readObject decodes a body that is one object with these members. A missing body counts as {}.
func (x *exchange) readObject(members ...member) error {
	body := []byte("{}")
	if x.r.ContentLength != 0 {
		var err error
		if body, err = x.readBody(maxBody); err != nil {
			return err
		}
	}
	x.in.reset(body)
	return x.in.flatObject(members...)
}

// createBusiness implements POST /admin/v1/businesses.
func (a *API) createBusiness(x *exchange) error {
	b := esh3ar.Business{ID: esh3ar.NewBusinessID(), CreatedAt: esh3ar.TimeOf(a.Now())}
	name := member{name: "name", required: true, read: func(in *input, at jsonPath) (err error) {
		b.Name, err = in.stringValue(at, 1, maxName)
		return err
	}}
	if err := x.readObject(name, a.planMember(x, false, &b.Plan)); err != nil {
		return err
	}
	if err := a.Store.CreateBusiness(x.r.Context(), b); err != nil {
		return err
	}
	return a.answerBusiness(x, http.StatusCreated, b)
}

// answerBusiness answers with a business and its plan in force.
func (a *API) answerBusiness(x *exchange, status int, b esh3ar.Business) error {
	o := wire.Begin(x.buffer[:0])
	o.String("id", b.ID.String())
	o.String("name", b.Name)
	o.String("plan", a.Plans.Lookup(b.Plan).Name)
	o.Text("createdAt", b.CreatedAt)
	x.buffer = o.End()
	return x.answer(status, x.buffer)
}

// getBusiness implements GET /admin/v1/businesses/{id}.
func (a *API) getBusiness(x *exchange) error {
	b, err := a.businessFromPath(x)
	if err != nil {
		return err
	}
	return a.answerBusiness(x, http.StatusOK, b)
}

// businessFromPath returns the business that the path names.
func (a *API) businessFromPath(x *exchange) (esh3ar.Business, error) {
	var b esh3ar.Business
	id, err := esh3ar.ParseBusinessID(x.params[0])
	if err != nil {
		return b, businessNotFound(x)
	}
	b, err = a.Store.Business(x.r.Context(), id)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		err = businessNotFound(x)
	}
	return b, err
}

// createKey implements POST /admin/v1/businesses/{id}/keys.
func (a *API) createKey(x *exchange) error {
	business, err := esh3ar.ParseBusinessID(x.params[0])
	if err != nil {
		return businessNotFound(x)
	}
	if err := x.readObject(); err != nil {
		return err
	}
	key := a.Keys.NewKey()
	k := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: business, Hash: auth.HashOf(key), CreatedAt: esh3ar.TimeOf(a.Now())}
	if err := a.Store.CreateKey(x.r.Context(), k); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return businessNotFound(x)
		}
		return err
	}
	o := wire.Begin(x.buffer[:0])
	o.String("id", k.ID.String())
	o.String("apiKey", key)
	x.buffer = o.End()
	x.w.Header()["Cache-Control"] = noStore
	return x.answer(http.StatusCreated, x.buffer)
}

func businessNotFound(x *exchange) error { return notFound.problem("no business " + x.params[0]) }

// revokeKey implements DELETE /admin/v1/businesses/{id}/keys/{keyId}.
func (a *API) revokeKey(x *exchange) error {
	business, badBusiness := esh3ar.ParseBusinessID(x.params[0])
	key, badKey := esh3ar.ParseKeyID(x.params[1])
	if badBusiness != nil || badKey != nil {
		return keyNotFound(x)
	}
	if err := a.Store.RevokeKey(x.r.Context(), business, key, esh3ar.TimeOf(a.Now())); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return keyNotFound(x)
		}
		return err
	}
	a.Keys.ForgetID(key)
	x.send(http.StatusNoContent, nil)
	return nil
}

func keyNotFound(x *exchange) error {
	return notFound.problem("business " + x.params[0] + " has no key " + x.params[1])
}

// createDeviceToken implements POST /admin/v1/device-tokens.
func (a *API) createDeviceToken(x *exchange) error {
	var (
		phone  esh3ar.Recipient
		device string
		ttl    int64
	)
	life := member{name: "ttlSeconds", read: func(in *input, at jsonPath) (err error) {
		ttl, _, err = in.integer(at, int64(auth.MinTokenTTL/time.Second), int64(auth.MaxTokenTTL/time.Second))
		return err
	}}
	err := x.readObject(a.phoneMember("phoneNumber", true, &phone), stringMember("deviceId", auth.MaxDeviceID, &device), life)
	if err != nil {
		return err
	}
	if a.Credentials != nil {
		_ = a.Credentials.Refresh(x.r.Context()) // on failure the new token may fall under a revocation that is not known here; the caller can request another
	}
	token, expires, err := a.Tokens.Mint(phone, device, time.Duration(ttl)*time.Second)
	if err != nil {
		return err
	}
	o := wire.Begin(x.buffer[:0])
	o.String("accessToken", token)
	o.Text("expiresAt", esh3ar.TimeOf(expires))
	x.buffer = o.End()
	x.w.Header()["Cache-Control"] = noStore
	return x.answer(http.StatusOK, x.buffer)
}
