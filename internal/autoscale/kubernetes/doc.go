// Package kubernetes is a target of package autoscale that sets the replicas of a StatefulSet, through its scale subresource and
// with the service account of its pod. It needs two API requests and therefore no client library.
//
// Pods are numbered by ordinals from 0, and the highest is removed first. Nodes must have the names of their pods as --node-id. The
// volumes of removed pods must be retained: messages that a node could not store before it stopped are stored when its ordinal runs
// again.
//
// # Conflicts between scalers
//
// A change names the version that it is based on (resourceVersion), so the API server refuses it if the set has changed since, by
// another scaler or by an operator. A leader that was suspended between reading and changing therefore fails, whatever it believes.
// The Target stores the version between Fleet and Resize.
//
// Concurrency: a Target is used by one scaler.
package kubernetes
