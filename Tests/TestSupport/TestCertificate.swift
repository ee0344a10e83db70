/// A certificate of localhost, made with openssl: signed by one that is signed by an authority of its own.
package struct TestCertificate {
  /// The authority's certificate, in PEM, as all of these.
  package let authority: String
  /// Its own certificate and the one between.
  package let chain: String
  /// Only its owner may read it.
  package let key: String

  /// - Parameter name: what its files begin with.
  package init(in folder: TemporaryFolder, _ name: String) throws {
    func path(_ ending: String) -> String { folder.file("\(name)-\(ending)") }
    (authority, chain, key) = (path("authority.pem"), path("chain.pem"), path("key.pem"))
    let script = """
      umask 077
      new='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc'
      sign() { openssl x509 -req -days 2 -set_serial $1 -CA $2 -CAkey $3 -in $4 -extfile $5; }
      openssl req -x509 $new -days 2 -subj /CN=authority -keyout $1.0.key -out $2
      openssl req $new -subj /CN=between -keyout $1.1.key -out $1.1.csr
      openssl req $new -subj /CN=localhost -keyout $4 -out $1.2.csr
      echo basicConstraints=CA:TRUE >$1.1.ext
      echo subjectAltName=DNS:localhost,IP:127.0.0.1 >$1.2.ext
      sign 2 $2 $1.0.key $1.1.csr $1.1.ext >$1.1.pem
      sign 3 $1.1.pem $1.1.key $1.2.csr $1.2.ext >$3
      cat $1.1.pem >>$3
      """
    let finished = try run(["bash", "-ec", script, "bash", path("work"), authority, chain, key])
    guard finished.status == 0 else { throw RunError("openssl: \(finished.errorText)") }
  }
}
