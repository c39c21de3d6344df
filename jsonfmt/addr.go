package jsonfmt

import "github.com/pulpo-storage/pulpo/entity"

// AddrVec writes a list of addresses (entity_addrvec_t::dump).
func (f *Formatter) AddrVec(name string, v entity.AddrVec) {
	f.OpenObject(name)
	f.OpenArray("addrvec")
	for _, a := range v {
		f.OpenObject("addr")
		f.Addr(a)
		f.Close()
	}
	f.Close()
	f.Close()
}

// Addr writes the fields of an address into the open object.
func (f *Formatter) Addr(a entity.Addr) {
	typ := "none"
	switch a.Type {
	case entity.AddrLegacy:
		typ = "v1"
	case entity.AddrMsgr2:
		typ = "v2"
	case entity.AddrAny:
		typ = "any"
	}
	f.Str("type", typ)
	f.Str("addr", a.Socket())
	f.Uint("nonce", uint64(a.Nonce))
}
