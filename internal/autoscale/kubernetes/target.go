package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Target is a StatefulSet. It implements autoscale.Target.
type Target struct {
	opts   Options
	client *http.Client
	url    string
	seen   scaleObject // result of the last Fleet
}

var _ autoscale.Target = (*Target)(nil)

// New reads the options of the pod. It sends no requests.
func New(o Options) (*Target, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	path, err := url.JoinPath(o.Server, "apis/apps/v1/namespaces", url.PathEscape(o.Namespace), "statefulsets", url.PathEscape(o.Name), "scale")
	if err != nil {
		return nil, fmt.Errorf("the API's address: %w", err)
	}
	return &Target{opts: o, client: client, url: path}, nil
}

// Fleet implements autoscale.Target.
func (t *Target) Fleet(ctx context.Context) (autoscale.Fleet, error) {
	var f autoscale.Fleet
	var err error
	if t.seen, err = t.call(ctx, http.MethodGet, nil); err != nil {
		return f, err
	}
	f = autoscale.Fleet{Wanted: t.seen.Spec.Replicas, OwnsAll: true}
	for ordinal := range f.Wanted {
		f.Own = append(f.Own, membership.NodeID(fmt.Sprintf("%s-%d", t.opts.Name, ordinal)))
	}
	for i := range f.Own {
		f.RemovalOrder = append(f.RemovalOrder, f.Own[len(f.Own)-1-i])
	}
	return f, nil
}

// Resize implements autoscale.Target. It changes only the version that the last Fleet returned.
func (t *Target) Resize(ctx context.Context, o autoscale.Order) error {
	if t.seen.Metadata.ResourceVersion == "" {
		return errors.New("the StatefulSet was not looked at yet")
	}
	var patch scaleObject
	patch.Metadata.ResourceVersion, patch.Spec.Replicas = t.seen.Metadata.ResourceVersion, o.Nodes
	body, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	return o.Guard(ctx, func(ctx context.Context) error {
		got, err := t.call(ctx, http.MethodPatch, body)
		if err != nil {
			return err
		}
		t.seen = got
		return nil
	})
}
