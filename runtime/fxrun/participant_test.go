package main

import (
	"errors"
	"testing"

	"fx/schema"
)

func TestAPlanWithoutAuthenticationIsRefused(t *testing.T) {
	tests := map[string]struct {
		network schema.NetworkSettings
		good    bool
	}{
		"mutual TLS":               {schema.NetworkSettings{TLS: true, RequireClientAuth: true}, true},
		"no TLS":                   {schema.NetworkSettings{RequireClientAuth: true}, false},
		"no client authentication": {schema.NetworkSettings{TLS: true}, false},
	}
	for name, tt := range tests {
		if err := authenticates(tt.network); tt.good != (err == nil) || !tt.good && !errors.Is(err, schema.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
