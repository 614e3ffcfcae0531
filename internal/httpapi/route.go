package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// handler implements one route and method. An error that it returns is answered as a problem.
type handler func(x *exchange) error

// maxParams is the maximum number of path parameters.
const maxParams = 2

// route is a path with its methods. The path has the form of the OpenAPI document and is the route's name in metrics.
type route struct {
	path     string
	methods  map[string]handler
	query    bool     // GET takes query parameters
	segments []string // of the path
	allow    []string // value of the Allow header
}

// routes returns all routes. A test compares them with the OpenAPI document.
func (a *API) routes() []*route {
	return []*route{
		{path: "/v1/dead-letters", query: true, methods: map[string]handler{"GET": a.requireBusiness(a.listDeadLetters)}},
		{path: "/v1/dead-letters/replay", methods: map[string]handler{"POST": a.requireBusiness(a.replayDeadLetters)}},
		{path: "/v1/dead-letters/{id}", methods: map[string]handler{"GET": a.requireBusiness(a.getDeadLetter), "DELETE": a.requireBusiness(a.discardDeadLetter)}},
		{path: "/v1/dead-letters/{id}/replay", methods: map[string]handler{"POST": a.requireBusiness(a.replayDeadLetter)}},
		{path: "/v1/messages", query: true, methods: map[string]handler{"POST": a.requireSender(a.sendMessage), "GET": a.requireBusiness(a.listMessages)}},
		{path: "/v1/messages/batch", methods: map[string]handler{"POST": a.requireSender(a.sendBatch)}},
		{path: "/v1/messages/{id}", methods: map[string]handler{"GET": a.requireBusiness(a.getMessage), "DELETE": a.requireBusiness(a.cancelMessage)}},
		{path: "/v1/events", query: true, methods: map[string]handler{"GET": a.eventStream}},
		{path: "/v1/messages/{id}/events", methods: map[string]handler{"GET": a.requireBusiness(a.messageHistory)}},
		{path: "/v1/usage", query: true, methods: map[string]handler{"GET": a.requireBusiness(a.usage)}},
		{path: "/admin/v1/admin-token", methods: map[string]handler{"POST": a.requireCredentials(a.rotateAdminToken)}},
		{path: "/admin/v1/breakers", methods: map[string]handler{"GET": a.requireAdmin(a.breakers)}},
		{path: "/admin/v1/businesses", methods: map[string]handler{"POST": a.requireAdmin(a.createBusiness)}},
		{path: "/admin/v1/businesses/{id}", methods: map[string]handler{"GET": a.requireAdmin(a.getBusiness)}},
		{path: "/admin/v1/businesses/{id}/plan", methods: map[string]handler{"PUT": a.requireAdmin(a.assignPlan)}},
		{path: "/admin/v1/businesses/{id}/keys", methods: map[string]handler{"POST": a.requireAdmin(a.createKey)}},
		{path: "/admin/v1/businesses/{id}/keys/{keyId}", methods: map[string]handler{"DELETE": a.requireAdmin(a.revokeKey)}},
		{path: "/admin/v1/device-tokens", methods: map[string]handler{"POST": a.requireAdmin(a.createDeviceToken)}},
		{path: "/admin/v1/spill", methods: map[string]handler{"GET": a.requireAdmin(a.spill)}},
		{path: "/admin/v1/spill/readmit", methods: map[string]handler{"POST": a.requireAdmin(a.readmit)}},
		{path: "/admin/v1/nodes/{id}/drain", methods: map[string]handler{"POST": a.requireAdmin(a.drainNode), "DELETE": a.requireAdmin(a.undrainNode)}},
		{path: "/admin/v1/nodes", methods: map[string]handler{"GET": a.requireAdmin(a.nodes)}},
		{path: "/admin/v1/phones/{number}/devices/{did}", methods: map[string]handler{"DELETE": a.requireCredentials(a.revokeDevice)}},
		{path: "/admin/v1/phones/{number}/revoke", methods: map[string]handler{"POST": a.requireCredentials(a.revokePhone)}},
		{path: "/admin/v1/plans", methods: map[string]handler{"GET": a.requireAdmin(a.listPlans)}},
		{path: "/admin/v1/plans/{name}", methods: map[string]handler{"GET": a.requireAdmin(a.getPlan), "PUT": a.requireAdmin(a.putPlan), "DELETE": a.requireAdmin(a.deletePlan)}},
		{path: "/admin/v1/scaler", query: true, methods: map[string]handler{"GET": a.requireAdmin(a.scaler)}},
		{path: "/admin/v1/signing-keys", methods: map[string]handler{"GET": a.requireCredentials(a.listSigningKeys), "POST": a.requireCredentials(a.rotateSigningKeys)}},
		{path: "/admin/v1/signing-keys/{id}", methods: map[string]handler{"DELETE": a.requireCredentials(a.endSigningKey)}},
		{path: "/admin/v1/verify", methods: map[string]handler{"POST": a.requireAdmin(a.verify)}},
		{path: "/livez", methods: map[string]handler{"GET": a.livez}},
		{path: "/readyz", methods: map[string]handler{"GET": a.readyz}},
		{path: "/metrics", methods: map[string]handler{"GET": a.metrics}},
		{path: "/openapi.json", methods: map[string]handler{"GET": a.openapi}},
		{path: "/docs", methods: map[string]handler{"GET": a.docs}},
	}
}

// Routes returns the methods of each path. Paths have the form of the OpenAPI document.
func Routes() map[string][]string {
	paths := map[string][]string{}
	for _, r := range new(API).routes() {
		paths[r.path] = slices.Sorted(maps.Keys(r.methods))
	}
	return paths
}

// table is the route table. Unlike http.ServeMux it never redirects: a path with an extra slash is not found, because a
// client would send a redirected POST a second time.
type table struct {
	fixed         map[string]*route // routes without path parameters, by path
	parameterized []*route          // routes with path parameters
}

func newTable(routes []*route) table {
	t := table{fixed: map[string]*route{}}
	for _, r := range routes {
		r.prepare()
		if strings.Contains(r.path, "{") {
			t.parameterized = append(t.parameterized, r)
		} else {
			t.fixed[r.path] = r
		}
	}
	return t
}

// prepare derives the fields that find and wrongMethod use.
func (r *route) prepare() {
	r.segments = strings.Split(r.path, "/")
	if get, ok := r.methods[http.MethodGet]; ok {
		r.methods[http.MethodHead] = get // net/http omits the body
	}
	var names []string
	for name := range r.methods {
		names = append(names, name)
	}
	slices.Sort(names)
	r.allow = []string{strings.Join(names, ", ")}
}

// find returns the route of a path and stores the values of the path parameters in params. It returns nil if there is none.
func (t *table) find(path string, params *[maxParams]string) *route {
	if r := t.fixed[path]; r != nil {
		return r
	}
	for _, r := range t.parameterized {
		if r.matches(path, params) {
			return r
		}
	}
	return nil
}

// matches reports whether path is an instance of the route's path, and stores the values of the path parameters.
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

// pathNotFound is the handler of unknown paths.
func pathNotFound(*exchange) error {
	return notFound.problem("unknown path; GET /docs lists all paths")
}

// wrongMethod is the handler of methods that the route does not support.
func (r *route) wrongMethod(x *exchange) error {
	x.w.Header()["Allow"] = r.allow
	return methodNotAllowed.problem(x.r.Method + " is not one of " + r.allow[0])
}
