// Package openflpb holds the messages and the service of OpenFL 1.9's
// task-runner federations, generated from the .proto files in this folder.
//
// The descriptors keep OpenFL's paths, packages and full names: base.proto has
// no package, aggregator.proto is in openfl.aggregator. Do not edit the
// generated files; run scripts/generate.sh.
package openflpb
