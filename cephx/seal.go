package cephx

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"

	"github.com/pulpo-storage/pulpo/wire"
)

// sealIV is the constant initialization vector of all cephx encryption
// (CEPH_AES_IV).
const sealIV = "cephsageyudagreg"

// sealMagic follows the version byte in front of each plaintext
// (AUTH_ENC_MAGIC). It is all there is to tell a right key from a wrong one.
const sealMagic = 0xff009cad8826aa55

// sealHeader is the size of version and magic.
const sealHeader = 9

// ErrSeal is an encrypted value that does not open: another key made it, or it
// is damaged. There is one error for every cause, so that a peer that tries
// out ciphertexts learns nothing from it.
var ErrSeal = errors.New("cannot decrypt")

// See doc/protocol/cephx.md#crypto. The two forms of an encrypted value must not be mixed up (it fails
// silently): sealTo and openFrom carry the length in front (encode_encrypt);
// seal and open are the bare ciphertext (encode_encrypt_enc_bl), for values
// that fill a bufferlist of their own.

func sealTo(e *wire.Encoder, k Key, v wire.Marshaler) { e.Blob(seal(k, v)) }

func openFrom(d *wire.Decoder, k Key, v wire.Unmarshaler) {
	b := d.Blob()
	if d.Err() != nil {
		return
	}
	if err := open(k, b, v); err != nil {
		d.Fail(err)
	}
}

func seal(k Key, v wire.Marshaler) []byte {
	e := wire.NewEncoder(make([]byte, 0, 128))
	e.U8(1)
	e.U64(sealMagic)
	v.Encode(e)
	return encrypt(k, e.Bytes())
}

// open decrypts b into v. Bytes left over are ignored, as in Ceph: a newer
// peer may say more.
func open(k Key, b []byte, v wire.Unmarshaler) error {
	plain, err := decrypt(k, b)
	if err != nil {
		return err
	}
	d := wire.NewDecoder(plain)
	version, magic := d.U8(), d.U64()
	if d.Err() != nil || version != 1 || magic != sealMagic {
		return ErrSeal
	}
	v.Decode(d)
	return d.Err()
}

// encrypt is AES-128-CBC with PKCS #7 padding; it may use the space after b.
func encrypt(k Key, b []byte) []byte {
	n := aes.BlockSize - len(b)%aes.BlockSize
	b = append(b, bytes.Repeat([]byte{byte(n)}, n)...)
	cipher.NewCBCEncrypter(k.block(), []byte(sealIV)).CryptBlocks(b, b)
	return b
}

func decrypt(k Key, b []byte) ([]byte, error) {
	if k.IsZero() || len(b) == 0 || len(b)%aes.BlockSize != 0 {
		return nil, ErrSeal
	}
	out := make([]byte, len(b))
	cipher.NewCBCDecrypter(k.block(), []byte(sealIV)).CryptBlocks(out, b)
	n := int(out[len(out)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(out[len(out)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, ErrSeal
	}
	return out[:len(out)-n], nil
}

func (k Key) block() cipher.Block {
	if !k.set {
		panic("BUG: encryption with no key")
	}
	b, err := aes.NewCipher(k.secret[:])
	if err != nil {
		panic("BUG: AES refuses a key of 16 bytes: " + err.Error())
	}
	return b
}

// proof is what shows that one knows the key (cephx_calc_client_server_challenge):
// the XOR of all whole words of the encrypted challenges, where the length in
// front of the ciphertext counts too and the last four bytes therefore do not.
func proof(k Key, serverChallenge, clientChallenge uint64) uint64 {
	var e wire.Encoder
	sealTo(&e, k, challengeBlob{serverChallenge, clientChallenge})
	var x uint64
	for b := e.Bytes(); len(b) >= 8; b = b[8:] {
		x ^= binary.LittleEndian.Uint64(b)
	}
	return x
}

type challengeBlob struct{ server, client uint64 }

func (c challengeBlob) Encode(e *wire.Encoder) {
	e.U64(c.server)
	e.U64(c.client)
}

// sealedString is a string or bufferlist on its own inside an envelope.
type sealedString []byte

func (s sealedString) Encode(e *wire.Encoder) { e.Blob(s) }
func (s *sealedString) Decode(d *wire.Decoder) {
	*s = append([]byte(nil), d.Blob()...)
}
