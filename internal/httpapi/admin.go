package httpapi

import (
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// Bounds of what an administrator sends, in code points.
const (
	maxName = 128
)

// readObject reads a body that is one flat object. A call without a body is as one with {}.
func (x *exchange) readObject(members ...member) error {
	body := []byte("{}")
	if x.r.ContentLength != 0 {
		var err error
		if body, err = x.readBody(maxBody); err != nil {
			return err
		}
	}
	x.in.reset(body)
	return x.in.flat(members...)
}

// createBusiness is POST /admin/v1/businesses.
func (a *API) createBusiness(x *exchange) error {
	b := esh3ar.Business{ID: esh3ar.NewBusinessID(), CreatedAt: esh3ar.TimeOf(a.Now())}
	name := member{name: "name", required: true, read: func(in *input, at place) (err error) {
		b.Name, err = in.word(at, 1, maxName)
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

// answerBusiness shows a business with the plan that is in force for it.
func (a *API) answerBusiness(x *exchange, status int, b esh3ar.Business) error {
	o := wire.Begin(x.buffer[:0])
	o.String("id", b.ID.String())
	o.String("name", b.Name)
	o.String("plan", a.Plans.Of(b.Plan).Name)
	o.Text("createdAt", b.CreatedAt)
	x.buffer = o.End()
	return x.answer(status, x.buffer)
}

// getBusiness is GET /admin/v1/businesses/{id}.
func (a *API) getBusiness(x *exchange) error {
	b, err := a.businessOf(x)
	if err != nil {
		return err
	}
	return a.answerBusiness(x, http.StatusOK, b)
}

// businessOf reads the business that a path names.
func (a *API) businessOf(x *exchange) (b esh3ar.Business, err error) {
	id, err := esh3ar.ParseBusinessID(x.params[0])
	if err != nil {
		return b, noBusiness(x)
	}
	b, err = a.Store.Business(x.r.Context(), id)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		err = noBusiness(x)
	}
	return b, err
}

// createKey is POST /admin/v1/businesses/{id}/keys.
func (a *API) createKey(x *exchange) error {
	business, err := esh3ar.ParseBusinessID(x.params[0])
	if err != nil {
		return noBusiness(x)
	}
	if err := x.readObject(); err != nil {
		return err
	}
	key := auth.NewKey()
	k := esh3ar.APIKey{ID: esh3ar.NewKeyID(), Business: business, Hash: auth.HashOf(key), CreatedAt: esh3ar.TimeOf(a.Now())}
	if err := a.Store.CreateKey(x.r.Context(), k); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return noBusiness(x)
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

func noBusiness(x *exchange) error { return notFound.problem("no business " + x.params[0]) }

// revokeKey is DELETE /admin/v1/businesses/{id}/keys/{keyId}.
func (a *API) revokeKey(x *exchange) error {
	business, badBusiness := esh3ar.ParseBusinessID(x.params[0])
	key, badKey := esh3ar.ParseKeyID(x.params[1])
	if badBusiness != nil || badKey != nil {
		return noKey(x)
	}
	if err := a.Store.RevokeKey(x.r.Context(), business, key, esh3ar.TimeOf(a.Now())); err != nil {
		if esh3ar.CodeOf(err) == esh3ar.NotFound {
			return noKey(x)
		}
		return err
	}
	a.Keys.ForgetID(key)
	x.send(http.StatusNoContent, nil)
	return nil
}

func noKey(x *exchange) error {
	return notFound.problem("business " + x.params[0] + " has no key " + x.params[1])
}

// createDeviceToken is POST /admin/v1/device-tokens.
func (a *API) createDeviceToken(x *exchange) error {
	var (
		phone  esh3ar.Recipient
		device string
		ttl    int64
	)
	life := member{name: "ttlSeconds", read: func(in *input, at place) (err error) {
		ttl, _, err = in.whole(at, int64(auth.MinTokenTTL/time.Second), int64(auth.MaxTokenTTL/time.Second))
		return err
	}}
	err := x.readObject(a.phoneMember("phoneNumber", true, &phone), wordMember("deviceId", auth.MaxDeviceID, &device), life)
	if err != nil {
		return err
	}
	if a.Credentials != nil {
		_ = a.Credentials.Refresh(x.r.Context()) // a token made without the newest revocations may be void: the caller asks again
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
