package httpapi_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// contract validates requests and responses against the OpenAPI document. Every exchange of this package's tests is
// checked.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema
}

var openAPI = sync.OnceValue(func() *contract {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		panic(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	c := &contract{doc: doc.(map[string]any), compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("mem:///openapi.json", doc); err != nil {
		panic(err)
	}
	return c
})

// schema returns the compiled schema at a pointer of the document.
func (c *contract) schema(pointer string) (*jsonschema.Schema, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.schemas[pointer]; s != nil {
		return s, nil
	}
	s, err := c.compiler.Compile("mem:///openapi.json#" + pointer)
	c.schemas[pointer] = s
	return s, err
}

// validate validates a JSON text against the schema at a pointer.
func (c *contract) validate(pointer string, body []byte) error {
	s, err := c.schema(pointer)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return s.Validate(value)
}

// at returns the value at a path of the document, or nil if there is none.
func (c *contract) at(names ...string) any {
	var value any = c.doc
	for _, name := range names {
		m, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = m[name]
	}
	return value
}

// path returns the path template of the document that matches a request's path, or "".
func (c *contract) path(path string) string {
	parts := strings.Split(path, "/")
	for _, name := range slices.Sorted(keys(c.at("paths"))) {
		template := strings.Split(name, "/")
		if len(template) == len(parts) && slices.EqualFunc(template, parts, func(t, p string) bool {
			return t == p || strings.HasPrefix(t, "{") && p != ""
		}) {
			return name
		}
	}
	return ""
}

func keys(object any) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		m, _ := object.(map[string]any)
		for name := range m {
			if !yield(name) {
				return
			}
		}
	}
}

func pointer(names ...string) string {
	var p strings.Builder
	for _, name := range names {
		p.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return p.String()
}

// check checks one exchange against the document.
func (c *contract) check(t *testing.T, r *http.Request, sent []byte, got reply) {
	t.Helper()
	path, method := c.path(r.URL.Path), strings.ToLower(r.Method)
	checkRequestID(t, r, got)
	if r.Method == http.MethodHead {
		method = "get"
	}
	media, _, _ := strings.Cut(got.header.Get("Content-Type"), ";")
	where := r.Method + " " + r.URL.Path + " → " + strconv.Itoa(got.status)
	if c.at("paths", path, method) == nil { // unknown path or method
		if got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: the call is not in the document", where)
		}
		c.checkBody(t, where, "/components/schemas/Problem", got.body)
		return
	}
	answer := []string{"paths", path, method, "responses", strconv.Itoa(got.status)}
	if c.at(answer...) == nil {
		t.Errorf("%s: the status is not in the document", where)
		return
	}
	for name := range keys(c.at(append(answer, "headers")...)) {
		if name == "Retry-After" && got.header.Get(name) == "" {
			t.Errorf("%s: no header %s", where, name)
		}
	}
	if len(got.body) > 0 && r.Method != http.MethodHead {
		content := append(answer, "content", media)
		if c.at(content...) == nil {
			t.Errorf("%s: content type %q is not in the document", where, media)
		} else if strings.HasSuffix(media, "json") {
			c.checkBody(t, where, pointer(append(content, "schema")...), got.body)
		}
	}
	if len(sent) > 0 && got.status < 300 {
		c.checkBody(t, where+": the accepted request", pointer("paths", path, method, "requestBody", "content", "application/json", "schema"), sent)
	}
}

// checkRequestID checks that every response has an id, and that a problem document repeats it.
func checkRequestID(t *testing.T, r *http.Request, got reply) {
	t.Helper()
	ids := got.header["X-Request-Id"]
	if len(ids) != 1 || ids[0] == "" {
		t.Errorf("%s %s: got X-Request-Id %q, want one id", r.Method, r.URL.Path, ids)
		return
	}
	if got.header.Get("Content-Type") != "application/problem+json" || r.Method == http.MethodHead {
		return
	}
	var problem struct{ RequestID string }
	if err := json.Unmarshal(got.body, &problem); err != nil || problem.RequestID != ids[0] {
		t.Errorf("%s %s: got requestId %q (%v), want %q as in X-Request-Id", r.Method, r.URL.Path, problem.RequestID, err, ids[0])
	}
}

func (c *contract) checkBody(t *testing.T, where, schema string, body []byte) {
	t.Helper()
	if schema == "" {
		return
	}
	if err := c.validate(schema, body); err != nil {
		t.Errorf("%s: %v\nin %s", where, err, body)
	}
}

func TestOpenAPI_Routes_MatchTheAPI(t *testing.T) {
	t.Parallel()
	c := openAPI()
	routes := httpapi.Routes()
	for path, methods := range routes {
		for _, method := range methods {
			if c.at("paths", path, strings.ToLower(method)) == nil {
				t.Errorf("%s %s is not in the document", method, path)
			}
		}
	}
	for path := range keys(c.at("paths")) {
		for method := range keys(c.at("paths", path)) {
			if method != "parameters" && !slices.Contains(routes[path], strings.ToUpper(method)) {
				t.Errorf("%s %s of the document is no route", method, path)
			}
		}
	}
}

// TestOpenAPI_Operations_AreComplete checks what linters of OpenAPI documents ask for (docs/testing.md).
func TestOpenAPI_Operations_AreComplete(t *testing.T) {
	t.Parallel()
	c := openAPI()
	for _, name := range []string{"contact", "license", "description"} {
		if c.at("info", name) == nil {
			t.Errorf("info has no %s", name)
		}
	}
	for path := range keys(c.at("paths")) {
		for method := range keys(c.at("paths", path)) {
			if method == "parameters" {
				continue
			}
			for _, name := range []string{"operationId", "summary", "description", "tags"} {
				if value := c.at("paths", path, method, name); value == nil || value == "" {
					t.Errorf("%s %s has no %s", method, path, name)
				}
			}
			clientError := false
			for status := range keys(c.at("paths", path, method, "responses")) {
				clientError = clientError || strings.HasPrefix(status, "4")
				if status != "431" && c.at("paths", path, method, "responses", status, "headers", "X-Request-Id") == nil {
					t.Errorf("%s %s: response %s has no X-Request-Id", method, path, status)
				}
			}
			if !clientError {
				t.Errorf("%s %s has no response 4xx", method, path)
			}
		}
	}
}

func TestOpenAPI_Codes_MatchTheAPI(t *testing.T) {
	t.Parallel()
	c := openAPI()
	var documented []string
	for _, code := range c.at("components", "schemas", "Problem", "properties", "code", "enum").([]any) {
		documented = append(documented, code.(string))
	}
	codes := httpapi.Codes()
	for code := range codes {
		if !slices.Contains(documented, code) {
			t.Errorf("%s is not in the document", code)
		}
	}
	for _, code := range documented {
		if codes[code] == 0 {
			t.Errorf("%s of the document is no code", code)
		}
	}
}

// TestOpenAPI_Document_IsValid checks rules of OpenAPI 3.1 that no JSON schema expresses.
func TestOpenAPI_Document_IsValid(t *testing.T) {
	t.Parallel()
	c := openAPI()
	if v, _ := c.doc["openapi"].(string); !strings.HasPrefix(v, "3.1.") {
		t.Errorf("got openapi %q, want 3.1", v)
	}
	for name := range keys(c.at("components", "schemas")) {
		if _, err := c.schema(pointer("components", "schemas", name)); err != nil {
			t.Errorf("schema %s: %v", name, err)
		}
	}
	ids := map[string]string{}
	for path := range keys(c.at("paths")) {
		for method := range keys(c.at("paths", path)) {
			if method != "parameters" {
				c.checkOperation(t, path, method, ids)
			}
		}
	}
	c.checkReferences(t, c.doc)
}

func (c *contract) checkOperation(t *testing.T, path, method string, ids map[string]string) {
	t.Helper()
	where := method + " " + path
	id, _ := c.at("paths", path, method, "operationId").(string)
	if id == "" || ids[id] != "" {
		t.Errorf("%s: operationId %q is empty or also that of %s", where, id, ids[id])
	}
	ids[id] = where
	declared := map[string]bool{}
	for _, list := range []any{c.at("paths", path, method, "parameters"), c.at("paths", path, "parameters")} {
		parameters, _ := list.([]any)
		for _, p := range parameters {
			if m := p.(map[string]any); m["in"] == "path" {
				declared["{"+m["name"].(string)+"}"] = m["required"] == true
			}
		}
	}
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, "{") && !declared[part] {
			t.Errorf("%s: path parameter %s is not declared as required", where, part)
		}
	}
	for status := range keys(c.at("paths", path, method, "responses")) {
		answer := []string{"paths", path, method, "responses", status}
		if c.at(append(answer, "description")...) == nil {
			t.Errorf("%s %s: no description", where, status)
		}
		for media := range keys(c.at(append(answer, "content")...)) {
			if _, err := c.schema(pointer(append(answer, "content", media, "schema")...)); err != nil {
				t.Errorf("%s %s: %v", where, status, err)
			}
		}
	}
}

func (c *contract) checkReferences(t *testing.T, value any) {
	t.Helper()
	switch v := value.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			if names := strings.Split(ref, "/"); names[0] != "#" || c.at(names[1:]...) == nil {
				t.Errorf("reference %s: target does not exist", ref)
			}
		}
		for _, inner := range v {
			c.checkReferences(t, inner)
		}
	case []any:
		for _, inner := range v {
			c.checkReferences(t, inner)
		}
	}
}

// TestOpenAPI_InvalidBodies_FailValidation checks that the validation can fail.
func TestOpenAPI_InvalidBodies_FailValidation(t *testing.T) {
	t.Parallel()
	for schema, body := range map[string]string{
		"/components/schemas/Accepted":   `{"id":"x","status":"queued"}`,
		"/components/schemas/NewMessage": `{"recipientPhoneNumber":"+967771234567","messageContent":""}`,
		"/components/schemas/Problem":    `{"code":"made_up"}`,
		"/components/schemas/Event":      `{}`,
		"/components/schemas/Message":    `{"id":null}`,
	} {
		if openAPI().validate(schema, []byte(body)) == nil {
			t.Errorf("%s accepts %s, want an error", schema, body)
		}
	}
}

func decode[T any](t *testing.T, body []byte) T {
	var v T
	t.Helper()
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}
