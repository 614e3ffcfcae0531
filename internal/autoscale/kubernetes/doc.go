// Package kubernetes is a target of package autoscale: the replicas of a StatefulSet, through its scale subresource, with the
// service account of the pod that it runs in. It speaks the two calls that this takes and needs no library for it.
//
// Pods are named by ordinals from 0, the highest goes first, and nodes must have the names of their pods as --node-id. The
// volumes of pods that have gone must be retained: what a node could not store before it ended is stored when its ordinal
// comes back.
//
// # What keeps two scalers apart
//
// A change names the version that it was decided on (resourceVersion), so the API server refuses it when anybody, another
// scaler or a person, has changed the set since: a holder that slept between its look and its change loses, whatever it
// believes. What it looked at is kept from Fleet to Resize for this.
//
// Concurrency: a Target is one scaler's.
package kubernetes
