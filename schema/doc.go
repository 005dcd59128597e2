// Package schema reads the documents that outlive a process: the plan of a
// federation, the list of its collaborators, the list of data paths, and the
// small JSON and YAML documents of other packages.
//
// A plan is an OpenFL plan: YAML 1.1 as PyYAML reads it, with `defaults:`
// merged as OpenFL merges them, so that the federation id and the port are the
// ones that a Python peer computes from the same file. Everything read here is
// untrusted: size, depth and alias expansion are bounded before anything is
// built, unknown fields are refused, and every complaint is a Finding with
// file, line, column and the path in the document.
package schema
