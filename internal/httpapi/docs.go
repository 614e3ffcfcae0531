package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// openapiDocument describes the API. Tests validate their requests and responses against it.
//
//go:embed openapi.json
var openapiDocument []byte

func (a *API) openapi(x *exchange) error {
	return x.answer(http.StatusOK, openapiDocument)
}

//go:embed docs.html
var docsTemplate string

// docsPage renders the document once, as a page without scripts or external resources.
var docsPage = sync.OnceValues(func() ([]byte, error) {
	var doc document
	if err := json.Unmarshal(openapiDocument, &doc); err != nil {
		return nil, fmt.Errorf("read openapi.json: %w", err)
	}
	page, err := template.New("docs").Funcs(template.FuncMap{"text": plainText, "upper": strings.ToUpper}).Parse(docsTemplate)
	if err != nil {
		return nil, fmt.Errorf("parse docs.html: %w", err)
	}
	var out bytes.Buffer
	if err := page.Execute(&out, doc.view()); err != nil {
		return nil, fmt.Errorf("render docs: %w", err)
	}
	return out.Bytes(), nil
})

func (a *API) docs(x *exchange) error {
	page, err := docsPage()
	if err != nil {
		return err
	}
	h := x.w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	x.send(http.StatusOK, page)
	return nil
}

// document is the part of an OpenAPI document that the page shows.
type document struct {
	Info struct{ Title, Version, Description string }
	Tags []struct{ Name, Description string }
	// Paths maps each path to its operations by method; the key "parameters" holds the parameters of all of them.
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]any }
}

type operation struct {
	Path, Method         string
	Tags                 []string
	Summary, Description string
	Parameters           []struct{ Name, In, Description string }
	RequestBody          struct {
		Content map[string]struct{ Schema any }
	}
	Responses map[string]struct{ Description string }
}

// docsView is the data of the template.
type docsView struct {
	Title, Version, Description string
	Sections                    []docsSection
	Problems                    []docsProblem
	Schemas                     []docsSchema
}

type docsProblem struct {
	Code, Title, Hint string
	Status            int
}

type docsSection struct {
	Name, Description string
	Operations        []operation
}

type docsSchema struct{ Name, JSON string }

func (d *document) view() docsView {
	v := docsView{Title: d.Info.Title, Version: d.Info.Version, Description: d.Info.Description}
	for _, tag := range d.Tags {
		section := docsSection{Name: tag.Name, Description: tag.Description}
		for _, op := range d.operations() {
			if slices.Contains(op.Tags, tag.Name) {
				section.Operations = append(section.Operations, op)
			}
		}
		v.Sections = append(v.Sections, section)
	}
	for _, k := range allKinds() {
		v.Problems = append(v.Problems, docsProblem{k.code, k.title, k.hint, k.status})
	}
	for name, schema := range d.Components.Schemas {
		text, err := json.MarshalIndent(schema, "", "  ")
		if err == nil { // never fails: the value was decoded from JSON
			v.Schemas = append(v.Schemas, docsSchema{name, string(text)})
		}
	}
	slices.SortFunc(v.Schemas, func(a, b docsSchema) int { return strings.Compare(a.Name, b.Name) })
	return v
}

// operations returns all operations, sorted by path and method.
func (d *document) operations() []operation {
	var list []operation
	for path, methods := range d.Paths {
		for method, raw := range methods {
			op := operation{Path: path, Method: method}
			if method != "parameters" && json.Unmarshal(raw, &op) == nil {
				list = append(list, op)
			}
		}
	}
	slices.SortFunc(list, func(a, b operation) int {
		return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
	})
	return list
}

// plainText returns the name of a schema that is a reference, and "" for other schemas.
func plainText(schema any) string {
	if m, ok := schema.(map[string]any); ok {
		if ref, ok := m["$ref"].(string); ok {
			return ref[strings.LastIndexByte(ref, '/')+1:]
		}
	}
	return ""
}
