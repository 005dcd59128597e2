package issuer

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"math/big"

	"fx/ca/identity"
)

// checkSignature requires that the requester holds the key, by an algorithm
// that is worth something. The standard library still accepts SHA-1 here.
func checkSignature(csr *x509.CertificateRequest, no *Refusals) {
	switch csr.SignatureAlgorithm {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519:
	default:
		no.add("csr-signature-algorithm", "the request is signed by %v; allowed are ECDSA and PKCS #1 RSA with SHA-256, SHA-384 or SHA-512, and Ed25519", csr.SignatureAlgorithm)
		return
	}
	if err := csr.CheckSignature(); err != nil {
		no.add("csr-self-signature", "the request is not signed by the key that is in it: %v", err)
	}
}

// checkKey requires a key type that the role's profile allows, in good health.
func checkKey(pub crypto.PublicKey, r identity.Role, weak bool, no *Refusals) {
	switch k := pub.(type) {
	case ed25519.PublicKey:
	case *ecdsa.PublicKey:
		switch {
		case r.Signs() && k.Curve != elliptic.P256():
			no.add("key-type", "the key of a %s is ECDSA P-256 or Ed25519; found ECDSA %s", r, k.Curve.Params().Name)
		case k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521():
			no.add("key-curve", "the curve %s is not allowed; P-256, P-384 and P-521 are", k.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		if r.Signs() {
			no.add("key-type", "the key of a %s is ECDSA P-256 or Ed25519; found RSA", r)
		}
		checkRSA(k, weak, no)
	default:
		no.add("key-type", "the key is of a type that is not allowed; ECDSA, Ed25519 and RSA are")
	}
}

func checkRSA(k *rsa.PublicKey, weak bool, no *Refusals) {
	bits := k.N.BitLen()
	if (bits < 3072 && (bits != 2048 || !weak)) || bits > 8192 || bits%8 != 0 {
		no.add("key-rsa-size", "the RSA key has %d bits; 3072 to 8192 in whole bytes are allowed", bits)
	}
	if k.E != 65537 {
		no.add("key-rsa-exponent", "the RSA exponent is %d; 65537 is allowed", k.E)
	}
	switch {
	case bits > 8192: // not worth the arithmetic
	case hasSmallFactor(k.N):
		no.add("key-rsa-weak", "the RSA modulus has a small factor")
	case isFermatClose(k.N):
		no.add("key-rsa-weak", "the RSA primes lie so close together that the key can be computed (Fermat)")
	case isROCA(k.N):
		no.add("key-rsa-weak", "the RSA modulus has the form that CVE-2017-15361 (ROCA) breaks")
	}
}

// hasSmallFactor looks for prime factors below 2^12, among them 2.
func hasSmallFactor(n *big.Int) bool {
	product := big.NewInt(1)
	for p := int64(2); p < 1<<12; p++ {
		if big.NewInt(p).ProbablyPrime(0) {
			product.Mul(product, big.NewInt(p))
		}
	}
	return new(big.Int).GCD(nil, nil, n, product).Cmp(big.NewInt(1)) != 0
}

// isFermatClose tries Fermat's factorization for 100 steps, which finds primes
// that agree in about the first half of their digits.
func isFermatClose(n *big.Int) bool {
	one := big.NewInt(1)
	a := new(big.Int).Sqrt(n)
	if new(big.Int).Mul(a, a).Cmp(n) != 0 {
		a.Add(a, one)
	}
	for range 100 {
		b2 := new(big.Int).Mul(a, a)
		b2.Sub(b2, n)
		b := new(big.Int).Sqrt(b2)
		if b.Mul(b, b).Cmp(b2) == 0 {
			return true
		}
		a.Add(a, one)
	}
	return false
}

// isROCA recognizes the moduli of CVE-2017-15361: modulo every one of these
// primes they are powers of 65537 (Nemec et al., CCS 2017, section 3). A good
// key passes for one by chance once in about 2^27.
func isROCA(n *big.Int) bool {
	primes := []int64{
		3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97,
		101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
	}
	for _, p := range primes {
		want := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		found := false
		for i, power := int64(0), int64(1); i < p && !found; i++ {
			found = power == want
			power = power * 65537 % p
		}
		if !found {
			return false
		}
	}
	return true
}
