"""The registry's own copy: `private/` sealed to `registry_recipients`, at every destination with `registry: true`.

`digest` says at parse time whether anything changed, `contents` what goes along, `keep` seals and sends, `fetch` lists
and brings back, and `look` says whether it is there still. At a destination lie `registry/{UTC}.tar.zst.age` and
`registry/{UTC}.statement.json`.
Source: DESIGN, section 5, "private/".
"""

UNIT = "registry"
"""What stands for the unit in the sealed tarball and in its statement."""
