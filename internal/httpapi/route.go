package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// handler is one call of the API; the error it returns is answered.
type handler func(x *exchange) error

// maxParams is how many {…} a path has at most.
const maxParams = 2

// route is a path with its methods. Its name is its path as the OpenAPI document has it.
type route struct {
	path     string
	methods  map[string]handler
	query    bool     // GET has query parameters
	segments []string // of the path
	allow    []string // value of the Allow header
}

// routes is the whole API; a test holds it against the OpenAPI document.
func (a *API) routes() []*route {
	return []*route{
		{path: "/v1/dead-letters", query: true, methods: map[string]handler{"GET": a.business(a.listDeadLetters)}},
		{path: "/v1/dead-letters/replay", methods: map[string]handler{"POST": a.business(a.replayMany)}},
		{path: "/v1/dead-letters/{id}", methods: map[string]handler{"GET": a.business(a.getDeadLetter), "DELETE": a.business(a.discard)}},
		{path: "/v1/dead-letters/{id}/replay", methods: map[string]handler{"POST": a.business(a.replay)}},
		{path: "/v1/messages", query: true, methods: map[string]handler{"POST": a.business(a.send), "GET": a.business(a.list)}},
		{path: "/v1/messages/batch", methods: map[string]handler{"POST": a.business(a.sendBatch)}},
		{path: "/v1/messages/{id}", methods: map[string]handler{"GET": a.business(a.get), "DELETE": a.business(a.cancel)}},
		{path: "/v1/events", query: true, methods: map[string]handler{"GET": a.eventStream}},
		{path: "/v1/messages/{id}/events", methods: map[string]handler{"GET": a.business(a.history)}},
		{path: "/v1/usage", query: true, methods: map[string]handler{"GET": a.business(a.usage)}},
		{path: "/admin/v1/admin-token", methods: map[string]handler{"POST": a.credentials(a.rotateAdminToken)}},
		{path: "/admin/v1/breakers", methods: map[string]handler{"GET": a.admin(a.breakers)}},
		{path: "/admin/v1/businesses", methods: map[string]handler{"POST": a.admin(a.createBusiness)}},
		{path: "/admin/v1/businesses/{id}", methods: map[string]handler{"GET": a.admin(a.getBusiness)}},
		{path: "/admin/v1/businesses/{id}/plan", methods: map[string]handler{"PUT": a.admin(a.assignPlan)}},
		{path: "/admin/v1/businesses/{id}/keys", methods: map[string]handler{"POST": a.admin(a.createKey)}},
		{path: "/admin/v1/businesses/{id}/keys/{keyId}", methods: map[string]handler{"DELETE": a.admin(a.revokeKey)}},
		{path: "/admin/v1/device-tokens", methods: map[string]handler{"POST": a.admin(a.createDeviceToken)}},
		{path: "/admin/v1/spill", methods: map[string]handler{"GET": a.admin(a.spill)}},
		{path: "/admin/v1/spill/readmit", methods: map[string]handler{"POST": a.admin(a.readmit)}},
		{path: "/admin/v1/nodes/{id}/drain", methods: map[string]handler{"POST": a.admin(a.drainNode), "DELETE": a.admin(a.undrainNode)}},
		{path: "/admin/v1/nodes", methods: map[string]handler{"GET": a.admin(a.nodes)}},
		{path: "/admin/v1/phones/{number}/devices/{did}", methods: map[string]handler{"DELETE": a.credentials(a.revokeDevice)}},
		{path: "/admin/v1/phones/{number}/revoke", methods: map[string]handler{"POST": a.credentials(a.revokePhone)}},
		{path: "/admin/v1/plans", methods: map[string]handler{"GET": a.admin(a.listPlans)}},
		{path: "/admin/v1/plans/{name}", methods: map[string]handler{"GET": a.admin(a.getPlan), "PUT": a.admin(a.putPlan), "DELETE": a.admin(a.dropPlan)}},
		{path: "/admin/v1/scaler", query: true, methods: map[string]handler{"GET": a.admin(a.scaler)}},
		{path: "/admin/v1/signing-keys", methods: map[string]handler{"GET": a.credentials(a.listSigningKeys), "POST": a.credentials(a.rotateSigningKeys)}},
		{path: "/admin/v1/signing-keys/{id}", methods: map[string]handler{"DELETE": a.credentials(a.endSigningKey)}},
		{path: "/admin/v1/verify", methods: map[string]handler{"POST": a.admin(a.verify)}},
		{path: "/livez", methods: map[string]handler{"GET": a.livez}},
		{path: "/readyz", methods: map[string]handler{"GET": a.readyz}},
		{path: "/metrics", methods: map[string]handler{"GET": a.metrics}},
		{path: "/openapi.json", methods: map[string]handler{"GET": a.openapi}},
		{path: "/docs", methods: map[string]handler{"GET": a.docs}},
	}
}

// Routes returns the paths of the API, as the OpenAPI document has them, with the methods of each.
func Routes() map[string][]string {
	paths := map[string][]string{}
	for _, r := range new(API).routes() {
		paths[r.path] = slices.Sorted(maps.Keys(r.methods))
	}
	return paths
}

// table finds routes. Unlike http.ServeMux it never redirects: a path that the API does not have is not found, also with
// another slash in it, and a call to it must not be sent twice.
type table struct {
	fixed  map[string]*route
	others []*route
}

func newTable(routes []*route) table {
	t := table{fixed: map[string]*route{}}
	for _, r := range routes {
		r.prepare()
		if strings.Contains(r.path, "{") {
			t.others = append(t.others, r)
		} else {
			t.fixed[r.path] = r
		}
	}
	return t
}

func (r *route) prepare() {
	r.segments = strings.Split(r.path, "/")
	if get, ok := r.methods[http.MethodGet]; ok {
		r.methods[http.MethodHead] = get // net/http leaves the body out
	}
	var names []string
	for name := range r.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	r.allow = []string{strings.Join(names, ", ")}
}

// find gives the route of a path and sets its parameters; nil if there is none.
func (t *table) find(path string, params *[maxParams]string) *route {
	if r := t.fixed[path]; r != nil {
		return r
	}
	for _, r := range t.others {
		if r.matches(path, params) {
			return r
		}
	}
	return nil
}

func (r *route) matches(path string, params *[maxParams]string) bool {
	n := 0
	for i, want := range r.segments {
		part, rest, more := strings.Cut(path, "/")
		if more != (i < len(r.segments)-1) {
			return false
		}
		if strings.HasPrefix(want, "{") && part != "" {
			params[n] = part
			n++
		} else if part != want {
			return false
		}
		path = rest
	}
	return true
}

// notThere answers paths that the API does not have.
func notThere(*exchange) error {
	return notFound.problem("no such path; GET /docs shows them all")
}

// wrongMethod answers methods that a path does not have.
func (r *route) wrongMethod(x *exchange) error {
	x.w.Header()["Allow"] = r.allow
	return methodNotAllowed.problem(x.r.Method + " is not one of " + r.allow[0])
}
